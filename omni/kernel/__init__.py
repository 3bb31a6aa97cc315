"""The cellar: errors, events, money, numbers, jobs, imports, the HTTP client. It knows no business."""
