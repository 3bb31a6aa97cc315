"""Simplified Chinese: Django would group digits by four, without a separator, and write 2026年11月22日."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i"
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
