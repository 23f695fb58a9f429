"""What a user can set: values, fields of dataclasses, where a value comes from, and flags. Imports nothing heavy."""
