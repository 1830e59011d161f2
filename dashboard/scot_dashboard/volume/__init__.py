"""The patient's own images: DICOM or NIfTI to what the page draws, and who may see it."""
