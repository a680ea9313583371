// The program that bounds the connections of a load balancer.
module caslab/components/balancer

go 1.26.6
