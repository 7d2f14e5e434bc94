/*
 * notify - tells the service manager how this process is (the protocol of sd_notify(3)); nothing without NOTIFY_SOCKET.
 */
#ifndef PORTWAY_RELAYD_NOTIFY_H
#define PORTWAY_RELAYD_NOTIFY_H

/* "READY=1", "STOPPING=1", several lines at once. */
void notify(const char *state);

#endif
