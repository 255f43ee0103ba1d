"""What holds for a whole process, which foreign code may change: settings, open files, locks."""
