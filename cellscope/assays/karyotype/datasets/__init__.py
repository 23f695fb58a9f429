"""`cellscope karyotype prepare`, its readers of layouts, and prepared items in memory."""
