"""Credentials become a Caller, or a refusal.

Owns everything that proves who calls, and the challenge that tells a caller how to prove it. May import jose, core and
errors. An authenticator has three answers: not mine (None), a Caller, mine but bad (it raises).
"""
