"""How Python code is read: names, calls, values and where they flow, whatever the code is for."""
