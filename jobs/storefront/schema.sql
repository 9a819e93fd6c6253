-- The tables of the shop in PostgreSQL. Columns that a contract of sources.py declares as optional may be missing.
create table app_user (
    user_id bigint primary key, user_name text, email text, phone text, country char(2),
    is_active boolean not null default true, updated_at timestamptz not null default now()
);
create table category (
    category_id bigint primary key, category_name text not null, parent_id bigint references category,
    updated_at timestamptz not null default now()
);
create table brand (
    brand_id bigint primary key, brand_name text not null, updated_at timestamptz not null default now()
);
create table manufacturer (
    manufacturer_id bigint primary key, manufacturer_name text not null, updated_at timestamptz not null default now()
);
create table product (
    product_id bigint primary key, product_name text not null, brand_id bigint references brand,
    manufacturer_id bigint references manufacturer, price numeric(12, 2), is_active boolean not null default true,
    updated_at timestamptz not null default now()
);
create table product_category (
    product_id bigint references product, category_id bigint references category,
    updated_at timestamptz not null default now(), primary key (product_id, category_id)
);
create table buyer (
    buyer_id bigint primary key, user_id bigint references app_user, tier text,
    updated_at timestamptz not null default now()
);
create table seller (
    seller_id bigint primary key, user_id bigint references app_user, seller_name text,
    updated_at timestamptz not null default now()
);
create table seller_product (
    seller_id bigint references seller, product_id bigint references product, stock_quantity bigint,
    updated_at timestamptz not null default now(), primary key (seller_id, product_id)
);
create table ratings (
    rating_id bigint primary key, product_id bigint not null references product, buyer_id bigint references buyer,
    score smallint not null, updated_at timestamptz not null default now()
);
create table orders (
    order_id bigint primary key, buyer_id bigint references buyer, ordered_at timestamptz not null, status text,
    currency char(3) not null default 'USD', total_price numeric(16, 4) not null,
    updated_at timestamptz not null default now()
);
create table order_item (
    order_item_id bigint primary key, order_id bigint not null references orders, product_id bigint references product,
    seller_id bigint references seller, quantity integer not null, base_price numeric(16, 4) not null,
    tax numeric(16, 4) not null, updated_at timestamptz not null default now()
);
-- Pages send an event again when they are not sure that it arrived.
create table clickstream (
    click_id bigint primary key, received_at timestamptz not null default now(), event_id text not null, event_at timestamptz not null,
    event_type text not null, user_id bigint, product_id bigint, order_id bigint
);
create table exchange_rate (
    currency char(3), valid_from date, rate numeric(18, 9) not null, primary key (currency, valid_from)
);
