"""`cellscope mitosis prepare`, its readers of layouts, and prepared items in memory."""
