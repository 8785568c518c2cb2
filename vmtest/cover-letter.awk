# SPDX-License-Identifier: GPL-2.0
# Fill in the cover letter that git has made.
#
# Variables: text, a file with the subject in its first line, then an empty one and the
# body; version, of the kernel, for @VERSION@ in it.

/\*\*\* SUBJECT HERE \*\*\*/ {
	getline subject < text
	sub(/\*\*\* SUBJECT HERE \*\*\*/, subject)
}
/\*\*\* BLURB HERE \*\*\*/ {
	getline line < text
	while ((getline line < text) > 0) {
		gsub(/@VERSION@/, version, line)
		print line
	}
	next
}
{ print }
