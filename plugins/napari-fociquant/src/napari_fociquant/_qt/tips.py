"""What is said where the mouse rests."""

COLUMN_TIPS = {
    "image": "File of the section, in the folder",
    "mouse": "Name or number of the animal: what is counted for statistics",
    "group": "For example PBS or IAV",
    "dpi": "Days post infection, a number",
    "section": "Name of the section; empty: that of its file",
    "control": "'negative' for a section known to hold no labelled cell; else empty",
    "batch": "Staining or scan batch, if there were several",
    "region": "Which piece of tissue on the slide, if it holds several",
    "excluded": "Why the mouse is in no mean and no comparison, on all its rows; else empty",
}
"""Of the sheet; others are carried through to the tables."""

ROLE_TIPS = {
    "marker": "Labels the cancer cells",
    "nucleus": "For example DAPI or Hoechst",
    "autofluorescence": "An unstained channel: what shines in it too is no cancer cell",
    "phenotype": "Channels to be measured in the cancer cells, with commas between them",
}

SECTION_TIPS = {
    "open": "A double click on its line does the same",
    "images": "If they are no longer where they were when they were counted",
    "unblind": "Shows names, groups and days; written down, and cannot be taken back",
    "recount": "Makes tables and report with all decisions, of everybody",
    "export": "Recounts, then writes what is ticked into the folder 'exports' of the results",
    "report": "In the web browser; after unblinding",
    "folder": "With tables, figures and exports; after unblinding",
}
"""Of the buttons below the list of sections."""
