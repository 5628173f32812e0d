"""Items, tasks and scores of output quality."""
