"""The engine's own process: all that imports py-rattler, and all that runs uv.

It reads one JSON document a line from stdin and answers on stdout in kind, in
the order that ``engine.py`` asks. Its threads outlive their work and can bring
down an interpreter that is ending, so the process ends without taking itself
apart.
"""
