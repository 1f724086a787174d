"""What the learner minimises: one small class for each term, all behind one protocol."""
