/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Migration TDs that have a process of their own: what the program tdx_migtd and the
 * VMM that uses it, its client, tell each other.
 *
 * The program is started as "tdx_migtd FD", where FD is one of a pair of Unix sockets
 * of type SOCK_SEQPACKET, or as "tdx_migtd --listen PATH", and gives each connection to
 * PATH, of the same type, a migration TD.  This ends when the connection is closed.  A
 * packet in either direction is one struct tdx_migtd_packet, neither more nor less:
 *
 *	program                              client
 *	  |------------- HELLO --------------->|	or REFUSE
 *	  |<------------ HELLO ----------------|
 *	  |------------- READY --------------->|	with the fd of the VM, or REFUSE
 *	  |                                    |	KVM_TDX_SERVTD_BIND
 *	  |<------------ START ----------------|
 *	  |------------- MESSAGE ------------->|	for the peer
 *	  |<------------ MESSAGE --------------|	of the peer
 *	  |------------- RESULT -------------->|
 *
 * HELLO and REFUSE begin with the same bytes in each version of the protocol, those up
 * to the end of struct tdx_migtd_hello, whatever else a version adds.  The program says
 * first which version it speaks, and a client that speaks another one closes the
 * connection.  With --listen, a connection beyond TDX_MIGTD_MAX_CONNECTIONS is refused.
 * Nothing follows a REFUSE.
 *
 * A client that sends anything else loses the migration TD.  Up to MIGTD_MAX_SESSIONS
 * exchanges can be under way, told apart by their request id.  Each ends with one
 * RESULT, which can come at any time after START.  A MESSAGE that belongs to none is
 * dropped.  One that is not from the peer makes its exchange fail, which is also how a
 * client ends an exchange with a peer that is gone.
 *
 * The last exchange of a target counts: a START makes all older ones with this handle
 * fail, when their MESSAGE comes or when there is no more room for them.  They need
 * none of the MIGTD_MAX_SESSIONS.
 *
 * What makes messages of different exchanges different is the request id, so two VMMs
 * never use one again: it is chosen at random.  A migration TD refuses those that it
 * remembers.
 *
 * FOR TESTS ONLY, see tdx_migtd.h: messages are authenticated by means of a secret that
 * is in the source code, and are not encrypted.
 */
#ifndef SELFTEST_KVM_TDX_MIGTD_PROTO_H
#define SELFTEST_KVM_TDX_MIGTD_PROTO_H

#include <linux/types.h>

/* Key exchanges that a migration TD remembers, most of all those under way. */
#define MIGTD_MAX_SESSIONS		8
/* Bytes of a message between two migration TDs, of which only they know the format. */
#define MIGTD_MAX_MESSAGE		256

/* "TDXMIGTD" */
#define TDX_MIGTD_MAGIC			0x4454474d49584454ULL
#define TDX_MIGTD_VERSION		1
/* Connections to one socket at the same time, each with a TD. */
#define TDX_MIGTD_MAX_CONNECTIONS	64

/* How a request ended: 0, or the error code that ReportStatus tells. */
enum migtd_result {
	MIGTD_SUCCESS			= 0,
	MIGTD_INVALID_PARAMETER		= 1,
	MIGTD_OUT_OF_RESOURCE		= 3,
	MIGTD_TDX_MODULE_ERROR		= 4,
	/* The message is not the one of the peer, or a newer exchange has begun. */
	MIGTD_SECURE_SESSION_ERROR	= 6,
	/* The two hosts have no version of the migration protocol in common. */
	MIGTD_POLICY_UNSATISFIED	= 8,
	MIGTD_CANCELLED			= 10,
	MIGTD_VMM_ERROR			= 11,
	MIGTD_UNSUPPORTED_OPERATION	= 12,
};

enum tdx_migtd_packet_type {
	TDX_MIGTD_READY			= 1,
	TDX_MIGTD_START			= 2,
	TDX_MIGTD_MESSAGE		= 3,
	TDX_MIGTD_RESULT		= 4,
	TDX_MIGTD_HELLO			= 5,
	TDX_MIGTD_REFUSE		= 6,
};

enum tdx_migtd_refusal {
	/* The client speaks another version of the protocol than @version. */
	TDX_MIGTD_REFUSE_VERSION	= 1,
	/* As many connections as there can be, or no process for another one. */
	TDX_MIGTD_REFUSE_FULL		= 2,
};

/**
 * struct tdx_migtd_hello - Introduction of either side.
 * @magic: TDX_MIGTD_MAGIC.
 * @version: TDX_MIGTD_VERSION of the sender.
 * @refusal: enum tdx_migtd_refusal of TDX_MIGTD_REFUSE, 0 of TDX_MIGTD_HELLO.
 */
struct tdx_migtd_hello {
	__u64 magic;
	__u32 version;
	__u32 refusal;
};

/**
 * struct tdx_migtd_start - Start a key exchange.
 * @handle: of the binding to the target, from KVM_TDX_SERVTD_BIND.
 * @uuid: TD UUID of the target, likewise.
 * @is_source: 1 if the target is going to be exported, 0 if it is imported.
 */
struct tdx_migtd_start {
	__u64 handle;
	__u64 uuid[4];
	__u64 is_source;
};

/**
 * struct tdx_migtd_result - The end of a key exchange.
 * @result: enum migtd_result.
 * @tdx_status: completion status of the TDX module, with MIGTD_TDX_MODULE_ERROR.
 */
struct tdx_migtd_result {
	__u64 result;
	__u64 tdx_status;
};

/**
 * struct tdx_migtd_packet - A packet in either direction.
 * @type: enum tdx_migtd_packet_type.
 * @length: bytes in @message, 1 to MIGTD_MAX_MESSAGE; 0 for other types.
 * @request_id: the exchange that it is about; 0 before there is one.  It is the same on
 *	both sides, as the messages are authenticated with it, and never used again.
 * @hello: of TDX_MIGTD_HELLO and TDX_MIGTD_REFUSE.
 * @start: of TDX_MIGTD_START.
 * @message: of TDX_MIGTD_MESSAGE.
 * @result: of TDX_MIGTD_RESULT.
 */
struct tdx_migtd_packet {
	__u32 type;
	__u32 length;
	__u64 request_id;
	union {
		struct tdx_migtd_hello hello;
		struct tdx_migtd_start start;
		__u8 message[MIGTD_MAX_MESSAGE];
		struct tdx_migtd_result result;
	};
};

/* Bytes of a HELLO or a REFUSE that are the same in each version. */
#define TDX_MIGTD_HELLO_SIZE		(__builtin_offsetof(struct tdx_migtd_packet, hello) + \
					 sizeof(struct tdx_migtd_hello))

#endif /* SELFTEST_KVM_TDX_MIGTD_PROTO_H */
