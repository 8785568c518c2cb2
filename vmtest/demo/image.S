/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The binaries that run inside of TDs, as data of the VMM.
 */
	.section .rodata
	.balign	4096
	.globl	reset_image, reset_image_end
reset_image:
	.incbin	"reset.bin"
reset_image_end:

	.balign	4096
	.globl	migtd_image, migtd_image_end
migtd_image:
	.incbin	"migtd_guest.bin"
migtd_image_end:

	.section .note.GNU-stack, "", @progbits
