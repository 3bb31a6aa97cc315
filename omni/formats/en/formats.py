"""English: one width for every moment, so that columns line up and sort by eye."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i"
