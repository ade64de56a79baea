"""Nouns and contracts that every other package builds on: spaces, trials, random streams, the
seams between schedulers, tasks and engines, the record schema and the errors. No file is read by
import, no clock, no framework loop.
"""
