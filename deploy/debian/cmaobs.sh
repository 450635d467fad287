#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Debian's python3, which sees bcc; nothing from the directory that it is called in.
export PYTHONPATH=/usr/lib/cmaobs PYTHONSAFEPATH=1 PYTHONNOUSERSITE=1
exec /usr/bin/python3 -m cmaobs "$@"
