"""The tabular import engine: a file, a saved mapping, a preview, a commit that can be undone. Knows no business."""
