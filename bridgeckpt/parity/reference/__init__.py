"""What TensorFlow computed: the inputs, the recorded values, and the file that holds both."""
