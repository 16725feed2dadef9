//! IPMI 2.0 over LAN (Intel IPMI v2.0 rev 1.1): one shared UDP socket, RMCP+ sessions, the commands that the trait needs. It never trusts a packet whose HMAC it has not checked.
