"""Products that exist nowhere: textured solids, photographed by casting rays, in plain NumPy.

A class is one product: a shape and a texture. Its pictures differ in viewpoint, light and camera.
Points and directions are arrays (3, n), lengths are about the size of a product, z is up, and the
ground is z = 0.
"""
