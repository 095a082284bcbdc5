"""Tables of another shape to a row per patient and session: wide tables, questionnaire rows, dates."""
