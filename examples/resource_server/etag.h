#ifndef EXAMPLES_RESOURCE_SERVER_ETAG_H_
#define EXAMPLES_RESOURCE_SERVER_ETAG_H_

#include <string>
#include <string_view>

namespace resource_server {

// A strong entity tag of `body`, quotes included: the first 128 bits of its SHA-256.
//
// Of the content, not of the file's times: the same bytes have the same tag after a restart, on
// another machine and after a touch(1), so clients keep what they have. A strong tag promises that
// different bytes have different tags; a cryptographic hash keeps that promise even to somebody who
// can write the files and would like to see others served from stale copies. It runs once a load,
// beside reading and decompressing the file, which cost about as much.
std::string MakeEtag(std::string_view body);

// True if the value of an If-None-Match field names `etag`: a list of tags, or "*". The comparison
// is weak (RFC 9110, 13.1.2): W/"x" names "x". A malformed list names what stands before the fault.
bool IfNoneMatchNames(std::string_view field_value, std::string_view etag);

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_ETAG_H_
