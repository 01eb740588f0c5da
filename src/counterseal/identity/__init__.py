"""Credentials become a Caller, or a refusal.

Owns everything that proves who calls, what else may speak for a call (a channel token, a trusted proxy), and the challenge that
tells a caller how to prove it. May import jose, core and errors. An authenticator has three answers: not mine (None), a Caller,
mine but bad (it raises).
"""
