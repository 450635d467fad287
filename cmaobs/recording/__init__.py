# SPDX-License-Identifier: GPL-2.0
"""Recordings: what a source said, kept in a file and said again.

docs/recording.md describes the format. Imports pure code only.
"""

from cmaobs.recording.reader import RecordingSource
from cmaobs.recording.writer import RecordingWriter

__all__ = ["RecordingSource", "RecordingWriter"]
