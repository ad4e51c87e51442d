/* SPDX-License-Identifier: MIT */
/*
 * urcu-memb.h - a stand-in for the header of that name of liburcu, for compiling only: it declares
 * its flavour under the name that has the flavour in it, and defines neither URCU_API_MAP nor
 * rcu_flavor.
 */
#ifndef _URCU_MEMB_H
#define _URCU_MEMB_H

#include <stdbool.h>
#include <urcu/flavor.h>

extern const struct rcu_flavor_struct urcu_memb_flavor;

#endif
