"""What a person changes in a karyotype, and the cell drawn anew."""
