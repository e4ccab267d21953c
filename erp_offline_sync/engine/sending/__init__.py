"""From a claimed request to its recorded outcome: made ready, sent, understood, booked; batches, lanes, doubts."""
