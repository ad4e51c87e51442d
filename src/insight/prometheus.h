/* SPDX-License-Identifier: MIT */
/* prometheus.h - statistics as Prometheus exposition. */
#ifndef SN_PROMETHEUS_H
#define SN_PROMETHEUS_H

#include "insight/printer.h"

void sn_print_prometheus(struct printer *p);

#endif
