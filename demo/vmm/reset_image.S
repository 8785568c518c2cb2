/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The code at the reset vector of a TD, as data of the VMM.
 */
	.section .rodata
	.balign	4096
	.globl	reset_image, reset_image_end
reset_image:
	.incbin	"reset.bin"
reset_image_end:

	.section .note.GNU-stack, "", @progbits
