//! DVB-CSA1 from outside: beside somebody else's library, and as the descrambler's callers see it.

#[cfg(test)]
mod debian;
#[cfg(test)]
mod descrambling;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod packets;
