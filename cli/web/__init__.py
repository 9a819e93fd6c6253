"""The dashboard's page. ``python main.py dashboard`` hands it to Streamlit; nothing else imports it."""
