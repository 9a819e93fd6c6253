"""The dashboard's page. ``./logmill dashboard`` hands it to Streamlit; nothing else imports it."""
