// SPDX-License-Identifier: GPL-2.0
/*
 * The engine that runs guests: there is none, a stay in the guest is a function
 * of the test.  By default the guest is interrupted at once.
 */
#include "machine.h"

static __thread bool td_entered;
static machine_guest_fn guest;

void machine_set_guest(machine_guest_fn fn)
{
	guest = fn;
}

bool machine_td_entered(void)
{
	return td_entered;
}

void machine_clear_td_entered(void)
{
	td_entered = false;
}

void sim_engine_run(struct sim_vp *vp, struct sim_td_exit *exit)
{
	td_entered = true;
	*exit = (struct sim_td_exit){
		.pending = true,
		.rax = MACHINE_EXIT_INTERRUPT,
	};
	if (guest)
		guest(vp, exit);
}
