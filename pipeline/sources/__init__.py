"""Sources: files, with the columns that are declared of them, become typed rows and rejected rows."""
