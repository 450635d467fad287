# SPDX-License-Identifier: GPL-2.0
"""The subcommands, one module each.

Each has EXAMPLES, the text that ends its help; add_arguments(parser); and
run(args), which returns the exit status. Nothing that needs privileges or bcc
is imported before run() of a command that observes.
"""
