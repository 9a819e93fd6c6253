-- The tables that the job reads, for MariaDB and MySQL. Further columns do no harm. For other names see sources.py.
-- Times are UTC. Give the server, or the session that writes, time_zone = '+00:00'.
create table customers (
    customer_id bigint unsigned not null primary key,
    first_name varchar(100),
    last_name varchar(100),
    email varchar(255),
    city varchar(100),
    country varchar(100),
    created_at datetime not null default current_timestamp,
    updated_at datetime not null default current_timestamp on update current_timestamp
) character set utf8mb4;

create table products (
    product_id bigint unsigned not null primary key,
    product_name varchar(255) not null,
    category varchar(100),
    price decimal(10, 2),
    cost decimal(10, 2),
    updated_at datetime not null default current_timestamp on update current_timestamp
) character set utf8mb4;

create table orders (
    order_id bigint unsigned not null primary key,
    customer_id bigint unsigned,
    order_date datetime not null,
    status varchar(20) not null,
    total_amount decimal(12, 2),
    updated_at datetime not null default current_timestamp on update current_timestamp,
    foreign key (customer_id) references customers (customer_id)
) character set utf8mb4;

create table order_items (
    order_item_id bigint unsigned not null primary key,
    order_id bigint unsigned not null,
    product_id bigint unsigned not null,
    quantity int not null,
    unit_price decimal(10, 2) not null,
    discount decimal(10, 2) not null default 0,
    updated_at datetime not null default current_timestamp on update current_timestamp,
    foreign key (order_id) references orders (order_id),
    foreign key (product_id) references products (product_id)
) character set utf8mb4;

create table inventory_locations (
    location_id bigint unsigned not null primary key,
    location_name varchar(100),
    capacity int,
    updated_at datetime not null default current_timestamp on update current_timestamp
) character set utf8mb4;

create table product_inventory (
    product_id bigint unsigned not null,
    location_id bigint unsigned not null,
    quantity int not null,
    last_updated datetime null,
    primary key (product_id, location_id),
    foreign key (product_id) references products (product_id),
    foreign key (location_id) references inventory_locations (location_id)
) character set utf8mb4;
