"""Five servers on five different foundations, each guarded in under five lines: those that end with `# guard`.

    python -m tests.parties.guarded --kind fastmcp --port 9001 --issuer I --audience A

Each has the tool `get_weather(city)`, which answers with the city, the subject, and how often it ran, and but for the last one
`delete_all()` too.
Clocks are not forgiven anything (`leeway=0`), so that a test need not wait for long until a token is over.
"""
