"""Images of one's own as a data set: arrays, folders, and data sets of other libraries."""
