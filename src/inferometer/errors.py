"""Errors that a user can act on: they are printed as one message, without a traceback."""


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one message."""


class NotTestableHere(UserError):
    """This machine cannot run the case; the message is the reason that reports print."""
