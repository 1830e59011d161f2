"""Endoscopes, microscopes and cameras: captured with OpenCV, encoded once to H.264."""
