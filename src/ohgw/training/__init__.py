"""Training as pure functions: optimiser steps, dynamics, mini-batches, recipes, counted cost."""
