/*
 * crypto_err - OpenSSL's error queue as a struct err. Private to common/crypto.
 *
 * Thread: any; the queue belongs to the calling thread and is empty afterwards.
 */
#ifndef PORTWAY_CRYPTO_CRYPTO_ERR_H
#define PORTWAY_CRYPTO_CRYPTO_ERR_H

#include "common/base/err.h"

/* "<what>: <reason of the oldest queued error>"; returns -1. */
int crypto_err(struct err *e, enum err_code code, const char *what);

#endif
