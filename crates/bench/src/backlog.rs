//! What a transaction costs beside many that wait and many that are finished.
