"""Geo-alignment training.

::

    table       photos by columns: ids, coordinates, names of places
    sources     where photos come from: MP16-Pro's archives, folders, the procedural world's arrays
    cache       outputs of frozen towers: sharded, checksummed, memory-mapped
    contrast    symmetric InfoNCE in which photos of one place are not each other's negatives
    training    the loop: seeded batches, schedule, validation, exact resume
    pretraining phase 1, the towers; alignment, phase 2, G3's heads and GPS encoder
"""
