//! Black-box tests of the real programs.
