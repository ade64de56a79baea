"""Engines: train what searches ask for, under one deterministic clock of counted work.

A `Search` decides (scheduler, method, virtual workers, budget) and never trains; an engine trains
the outstanding jobs of any number of searches; `drive` carries results from one to the other.
"""
