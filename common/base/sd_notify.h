/*
 * sd_notify - tells systemd how a service is (sd_notify(3)): one datagram to the socket in NOTIFY_SOCKET.
 *
 * Without that variable nothing happens. Thread: any.
 */
#ifndef PORTWAY_BASE_SD_NOTIFY_H
#define PORTWAY_BASE_SD_NOTIFY_H

/* "READY=1", "STOPPING=1", "STATUS=..." */
void sd_notify_send(const char *state);
/* RELOADING=1 with the time that systemd wants beside it; READY=1 ends it. */
void sd_notify_reloading(void);

#endif
