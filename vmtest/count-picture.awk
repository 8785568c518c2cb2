# SPDX-License-Identifier: GPL-2.0
# Draw what a page costs in KVM beside what its encryption costs, in cycles, from
# counts.list.
BEGIN {
	FS = "\t"
	IPC = 2
	left = 330
	wide = 620
	bar = 26
	rows = 0
}

$2 == 512 { count[$1] = $3 }

function text(x, y, size, color, extra, what) {
	printf "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%d\" fill=\"%s\"%s>%s</text>\n", x, y, size, color, extra, what
}

function row(label, cycles, color) {
	labels[rows] = label
	values[rows] = cycles
	colors[rows] = color
	if (cycles > most)
		most = cycles
	rows++
}

function kvm(label, what) {
	if (!(what in count)) {
		print "counts.list has no " what >"/dev/stderr"
		failed = 1
	}
	row(label, count[what] / IPC, "#3b76b5")
}

END {
	kvm("log cleared, page blocked", "CLEAR_DIRTY_LOG, with TRACK")
	kvm("EXPORT_MEM", "EXPORT_MEM, page")
	kvm("IMPORT_MEM, page that is there", "IMPORT_MEM, page imported before")
	kvm("first write of the guest", "first write, fault to re-entry")
	kvm("IMPORT_MEM, new page of guest_memfd", "IMPORT_MEM, new page")
	row("AES-256-GCM, 0.16 cycles per byte", 4096 * 0.16, "#9aa5b1")
	row("AES-256-GCM, 0.64 cycles per byte", 4096 * 0.64, "#9aa5b1")
	if (failed)
		exit 1

	height = 96 + rows * (bar + 12)
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1040 %d\" width=\"1040\" height=\"%d\" font-family=\"Helvetica, Arial, sans-serif\">\n", height, height
	print "<title>What a page of a TD costs in KVM</title>"
	printf "<rect width=\"1040\" height=\"%d\" fill=\"#ffffff\" rx=\"10\"/>\n", height
	text(40, 44, 22, "#1f2933", " font-weight=\"bold\"", "What a page of a TD costs in KVM")
	text(40, 66, 13, "#66727f", "", "cycles, with 512 pages in a call: instructions counted in KVM, at 2 per cycle; gray, what the TDX module takes to encrypt it")
	for (i = 0; i < rows; i++) {
		y = 86 + i * (bar + 12)
		text(left - 12, y + 18, 14, "#1f2933", " text-anchor=\"end\"", labels[i])
		printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", left, y, values[i] / most * wide, bar, colors[i]
		text(left + values[i] / most * wide + 8, y + 18, 14, "#1f2933", "", sprintf("%d", values[i] + 0.5))
	}
	print "</svg>"
}
