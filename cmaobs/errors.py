# SPDX-License-Identifier: GPL-2.0
"""Every exception that this project raises on purpose.

    CmaobsError                 a message and a remedy, both one line
    |- UsageError               the command line asks for what cannot be
    |  `- ConfigError           a configuration file does, at a line and key
    |- HostError                this machine cannot do it
    |  |- KernelError           the kernel gives no answer, or one without sense
    |  |  |- UnsupportedError   it lacks a feature
    |  |  |- PrivilegeError     it has the feature, this user may not use it
    |  |  |- ProbeError         the probes did not compile, load or attach
    |  |  `- KernelReadError    a file or map could not be read or made sense of
    |  |- ListenError           the address cannot be listened on
    |  `- ExporterError         an exporter elsewhere gives no answer, or one without sense
    `- RecordingError           a recording cannot be read or written
       |- NotARecordingError    no recording, or of another version
       |- CorruptError          damaged; names the offset
       `- RecordingWriteError   disk full and the like
"""

from __future__ import annotations


class CmaobsError(Exception):
    """Ends a command with exit status 2.

    message: what is wrong, one line, without "error:".
    remedy: what to do about it, one line; printed after it.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[CmaobsError], tuple[str, str]]:
        """So that it can come from another process."""
        return type(self), (self.message, self.remedy)


class UsageError(CmaobsError):
    """The command line asks for what cannot be."""


class ConfigError(UsageError):
    """A configuration file does; the message names file, line and key."""


class HostError(CmaobsError):
    """This machine cannot do what was asked."""


class KernelError(HostError):
    """The kernel gives no answer to what it was asked, or one without sense."""


class UnsupportedError(KernelError):
    """The kernel lacks a feature."""


class PrivilegeError(KernelError):
    """The kernel has the feature, but this user may not use it."""


class ProbeError(KernelError):
    """The probes did not compile, load or attach."""


class KernelReadError(KernelError):
    """A file or map of the kernel could not be read or made sense of."""


class ListenError(HostError):
    """The address cannot be listened on."""


class ExporterError(HostError):
    """An exporter elsewhere gives no answer, or one without sense."""


class RecordingError(CmaobsError):
    """A recording cannot be read or written."""


class NotARecordingError(RecordingError):
    """The file is no recording, or of a version that this program cannot read."""


class CorruptError(RecordingError):
    """A recording is damaged; the message names the offset."""


class RecordingWriteError(RecordingError):
    """A recording could not be written: disk full and the like."""
